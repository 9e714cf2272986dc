import "./attribution.css";
import { Explorer } from "./attribution/explorer";
import { AttributionStore } from "./attribution/store";
import { widgetOf } from "./shared/mount";

export default widgetOf("attribution", AttributionStore, Explorer);
