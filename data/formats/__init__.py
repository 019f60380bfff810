"""The annotation formats that are read: YOLO, Pascal VOC and COCO, and which files a split has."""
