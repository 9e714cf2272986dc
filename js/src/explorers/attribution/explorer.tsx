import { Footer, Frame, useStore } from "../shared/frame";
import { Bar } from "./bar";
import { ParametersPanel } from "./parameters-panel";
import { PicturePanel } from "./picture-panel";
import { Reading } from "./reading";
import { SamplePanel } from "./sample-panel";
import type { AttributionStore } from "./store";

export function Explorer({ store }: { store: AttributionStore }) {
  useStore(store);
  const { shown, selection, parameters } = store.state;
  const isInput = selection.show === "input";
  const answer = isInput ? shown[0] : parameters;
  return (
    <Frame
      state={store.state}
      label="Attribution explorer"
      bar={<Bar store={store} />}
      footer={answer !== null && <Footer said={[answer.footer]} answer={answer} />}
    >
      <SamplePanel store={store} />
      {isInput ? <PicturePanel store={store} /> : <ParametersPanel store={store} />}
      <Reading store={store} />
    </Frame>
  );
}
