"""What the benchmark calls in the page: a count of received bytes, and clocks."""

from __future__ import annotations

# Chromium's own record of frames (CDP) copies each one as base64 to the test and would be felt at
# 50 MB; a listener on each socket is not.
INIT = """
(() => {
    const bench = (window.xwBench = { bytes: 0 });
    const Native = window.WebSocket;
    window.WebSocket = class extends Native {
        constructor(...options) {
            super(...options);
            this.addEventListener("message", ({ data }) => {
                bench.bytes += data.byteLength ?? data.size ?? data.length;
            });
        }
    };
    // The frame that finds it drawn is the first one after the drawing; the next is the second.
    bench.watch = (drawn) => {
        bench.painted = null;
        const look = () => {
            if (!drawn()) requestAnimationFrame(look);
            else requestAnimationFrame(() => {
                [bench.painted, bench.received] = [performance.now(), bench.bytes];
            });
        };
        requestAnimationFrame(look);
    };
})()
"""

PAINTED = "() => window.xwBench.painted !== null"
FIRST = "() => [window.xwBench.painted - window.xwTestStarted, window.xwBench.received]"
BYTES = "() => window.xwBench.bytes"

# Milliseconds between animation frames.
FRAME = """async () => {
    const times = [];
    for (let i = 0; i < 61; i += 1)
        times.push(await new Promise((resolve) => requestAnimationFrame(resolve)));
    const gaps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
    return gaps[30];
}"""

# One request of kind "ping" over an explorer's own comm; resolves to milliseconds.
PING = """async ([identity, pad]) => {
    const kernel = window.xwTestPanel.sessionContext.session.kernel;
    const id = `bench:${Math.random()}`;
    return await new Promise((resolve) => {
        const start = performance.now();
        const hear = (_, message) => {
            if (message.content?.data?.content?.id !== id) return;
            kernel.iopubMessage.disconnect(hear);
            resolve(performance.now() - start);
        };
        kernel.iopubMessage.connect(hear);
        const content = { id, kind: "ping", selection: {}, pad };
        kernel._comms.get(identity).send({ method: "custom", content });
    });
}"""

# From a key pressed on a slider to the second frame after a new picture is in the output.
WATCH_PICTURE = """() => {
    const bench = window.xwBench;
    const picture = () => [...document.querySelectorAll(".jp-OutputArea img")].at(-1);
    const [old, source] = [picture(), picture().src];
    addEventListener("keydown", (event) => { bench.began = event.timeStamp; },
        { capture: true, once: true });
    bench.watch(() => {
        const now = picture();
        return now !== undefined && (now !== old || now.src !== source)
            && now.complete && now.naturalWidth > 0;
    });
}"""
CHANGED = "() => window.xwBench.painted - window.xwBench.began"

# BertViz draws within the event itself.
PICK_LAYER = """async (layer) => {
    const menu = document.querySelector(".jp-OutputArea #layer");
    const start = performance.now();
    menu.value = String(layer);
    menu.dispatchEvent(new Event("change", { bubbles: true }));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return performance.now() - start;
}"""

# When the mouse entered a row: its measure begins only after the redraw that asks for it.
WATCH_POINTER = """() => {
    window.xwBench.pointer = [];
    addEventListener("pointermove", (event) => window.xwBench.pointer.push(event.timeStamp),
        { capture: true });
}"""
