// Sorts and filters the table of all mechanisms; without scripts it is an ordinary table.
document.querySelectorAll(".mechanisms").forEach((box) => {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  const rows = () => [...body.rows];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = Number(text.replace(/,/g, ""));
    return text !== "" && !Number.isNaN(number) ? number : text.toLowerCase();
  };
  const compare = (a, b) =>
    typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;

  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      body.append(
        ...rows().sort((a, b) => sign * compare(value(a, column), value(b, column)))
      );
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });

  box.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    rows().forEach((row) => {
      const text = (row.textContent + row.querySelector("a").title).toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
  });
});
