import "./features.css";
import { Explorer } from "./features/explorer";
import { FeatureStore } from "./features/store";
import { widgetOf } from "./shared/mount";

export default widgetOf("features", FeatureStore, Explorer);
