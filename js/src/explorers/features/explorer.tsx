import { Footer, Frame, useStore } from "../shared/frame";
import { Kept } from "../shared/kept";
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
  const { sampleCount, state } = store;
  const { selection, content, image, table, sheet, channel, lost } = state;
  const { across, maximised, ascent, change, opacity, read } = state;
  const { sample, layer, muted } = selection;
  const colormaps = store.colormaps.join();
  return (
    <Frame
      state={state}
      label="Feature explorer"
      bar={
        <Kept of={[selection, content, sheet?.slices, sampleCount, colormaps, lost]}>
          {() => <Bar store={store} />}
        </Kept>
      }
      footer={<Said sheet={sheet} />}
    >
      <Kept of={[content, image, layer, lost]}>{() => <LayersPanel store={store} />}</Kept>
      <Kept of={[sheet, table, selection.channel, muted, lost]}>{() => <MapsPanel store={store} />}</Kept>
      <Kept
        of={[
          ...[channel, across, maximised, ascent, change, opacity, read.size],
          ...[sample, selection.channel, muted, content, image, table, sheet === null, lost],
          // Of the layer that is picked, not yet shown, it draws nothing but what was found of it.
          maximised?.layer === layer,
        ]}
      >
        {() => <ChannelPanel store={store} />}
      </Kept>
    </Frame>
  );
}
