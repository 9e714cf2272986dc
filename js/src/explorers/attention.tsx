import "./attention.css";
import { Explorer } from "./attention/explorer";
import { AttentionStore } from "./attention/store";
import { widgetOf } from "./shared/mount";

export default widgetOf("attention", AttentionStore, Explorer);
