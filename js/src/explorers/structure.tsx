import "./structure.css";
import { widgetOf } from "./shared/mount";
import { Explorer } from "./structure/explorer";
import { StructureStore } from "./structure/store";

export default widgetOf("structure", StructureStore, Explorer);
