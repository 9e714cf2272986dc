import { Footer, Frame, useStore } from "../shared/frame";
import { Bar } from "./bar";
import { ChannelPanel } from "./channel-panel";
import { LayersPanel } from "./layers-panel";
import { MapsPanel } from "./maps-panel";
import type { FeatureStore } from "./store";
import type { Sheet } from "./types";

function Said({ sheet }: { sheet: Sheet | null }) {
  if (sheet === null) return null;
  return <Footer said={[sheet.footer, sheet.note]} answer={sheet.latest} />;
}

export function Explorer({ store }: { store: FeatureStore }) {
  useStore(store);
  const { sheet } = store.state;
  return (
    <Frame
      state={store.state}
      label="Feature explorer"
      bar={<Bar store={store} />}
      footer={<Said sheet={sheet} />}
    >
      <LayersPanel store={store} />
      <MapsPanel store={store} />
      <ChannelPanel store={store} />
    </Frame>
  );
}
