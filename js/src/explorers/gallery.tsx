import "./gallery.css";
import { Explorer } from "./gallery/explorer";
import { GalleryStore } from "./gallery/store";
import { widgetOf } from "./shared/mount";

export default widgetOf("gallery", GalleryStore, Explorer);
