import type { ComponentChildren } from "preact";
import { type Rect, TITLE } from "../graph/layout";
import type { Box } from "../graph/view";
import {
  failedText,
  familyOf,
  fitText,
  INSET,
  NAME_SIZE,
  nameOf,
  PICKER,
  TRIANGLE,
  TYPE_SIZE,
  textWidth,
  timesOf,
  timesWidth,
  typeOf,
} from "./graph-text";

/** How a box is coloured by a number of it. */
export interface Tint {
  colour: string;
  ink: string;
  /** The number in words, shown in the place of the type. */
  text: string;
}

export interface BoxMarks {
  tint: Tint | null;
  picked: "itself" | "inside" | null;
  focused: boolean;
  /** What is searched for: the box, or something in it. */
  found: "itself" | "inside" | null;
  /** The shapes that met where the forward failed here, in words; null: it did not. */
  failure: string | null;
  /** Read by assistive technology, and shown as a tip. */
  words: string;
}

interface GraphBoxProps extends BoxMarks {
  box: Box;
  rect: Rect;
  level: number;
  /** By which the element is found when it is in focus. */
  domId: string;
  /** Also what is a control elsewhere: the block that is shown. */
  isStill: boolean;
  onToggle(id: string, event: Event): void;
  onPick(id: string, event: Event): void;
}

/** A filled triangle: to the right of a closed box, down of an open one. */
function Triangle({ isOpen, y }: { isOpen: boolean; y: number }) {
  const path = isOpen ? `M6 ${y - 2.5}h9l-4.5 6z` : `M7.5 ${y - 4.5}l6 4.5l-6 4.5z`;
  return (
    <g class="xw-graph-triangle">
      <rect x={0} y={y - 13} width={TRIANGLE} height={26} />
      <path d={path} />
    </g>
  );
}

/** "× 12" at the right end. */
function Times({ box, right, y }: { box: Box; right: number; y: number }) {
  if (box.repeats < 2) return null;
  const width = timesWidth(box) - 8;
  return (
    <g class="xw-graph-times">
      <rect x={right - width} y={y - 8} width={width} height={16} rx={8} />
      <text x={right - width / 2} y={y + 3.8} text-anchor="middle" font-size={TYPE_SIZE}>
        {timesOf(box)}
      </text>
    </g>
  );
}

interface TextProps {
  box: Box;
  rect: Rect;
  tint: Tint | null;
}

/** The name of a module, and under it its class, its number, or the shapes that met where it failed. */
function ModuleText({ box, rect, tint, failure }: TextProps & { failure: string | null }) {
  const left = box.parts > 0 ? TRIANGLE : INSET;
  const room = rect.width - left - 8;
  const under = failure !== null ? failedText(failure) : (tint?.text ?? typeOf(box));
  return (
    <>
      <text class="xw-graph-name" x={left} y={under === "" ? 24.5 : 17} font-size={NAME_SIZE}>
        {fitText(nameOf(box), room - timesWidth(box) + 2, NAME_SIZE, true)}
      </text>
      <text
        class={failure === null ? "xw-graph-type" : "xw-graph-failure"}
        x={left}
        y={32}
        font-size={TYPE_SIZE}
      >
        {fitText(under, room, TYPE_SIZE, failure !== null)}
      </text>
    </>
  );
}

function OpenText({ box, rect, tint }: TextProps) {
  const name = fitText(nameOf(box), rect.width - TRIANGLE - timesWidth(box) - 8, NAME_SIZE, true);
  const behind = TRIANGLE + textWidth(name, NAME_SIZE, true) + 7;
  const room = rect.width - behind - timesWidth(box) - (box.picksBlock ? 148 : 0) - 6;
  return (
    <>
      <text class="xw-graph-name" x={TRIANGLE} y={17.5} font-size={NAME_SIZE}>
        {name}
      </text>
      {room > 20 && (
        <text class="xw-graph-type" x={behind} y={17.5} font-size={TYPE_SIZE}>
          {fitText(tint?.text ?? typeOf(box), room, TYPE_SIZE)}
        </text>
      )}
    </>
  );
}

/** Frames and fills that stand behind the text. */
function Ground({ box, rect, tint }: TextProps) {
  const { width, height } = rect;
  const isPill = box.kind !== "module" && !box.isOpen;
  const rx = isPill && box.kind !== "bundle" ? height / 2 : 6;
  const fill = tint === null ? {} : { style: { fill: tint.colour } };
  const stacked = box.repeats > 1;
  return (
    <>
      {stacked && <rect class="xw-graph-under" x={6} y={6} width={width} height={height} rx={rx} />}
      {stacked && <rect class="xw-graph-under" x={3} y={3} width={width} height={height} rx={rx} />}
      <rect
        class={box.isOpen ? "xw-graph-room" : "xw-graph-ground"}
        {...{ width, height, rx }}
        {...(box.isOpen ? {} : fill)}
      />
      {box.isOpen && <path class="xw-graph-title" d={titlePath(width)} {...fill} />}
      {box.kind === "module" && !box.isOpen && (
        <path class="xw-graph-stripe" d={`M4 0H6V${height}H4A4 6 0 0 1 0 ${height - 6}V6A4 6 0 0 1 4 0z`} />
      )}
    </>
  );
}

const titlePath = (width: number) =>
  `M0 ${TITLE}V6A6 6 0 0 1 6 0H${width - 6}A6 6 0 0 1 ${width} 6V${TITLE}z`;

function Around({ rect, marks }: { rect: Rect; marks: BoxMarks }) {
  const { picked, found, focused, failure } = marks;
  const frame = (name: string, gap: number): ComponentChildren => (
    <rect
      class={name}
      x={-gap}
      y={-gap}
      width={rect.width + 2 * gap}
      height={rect.height + 2 * gap}
      rx={6 + gap}
    />
  );
  return (
    <>
      {found !== null && frame(`xw-graph-found xw-${found}`, 3)}
      {picked !== null && frame(`xw-graph-picked xw-${picked}`, 1)}
      {focused && frame("xw-graph-focus", 4.5)}
      {failure !== null && frame("xw-graph-failed", 0)}
    </>
  );
}

/** One box: a module, an operation, a bundle of them, or what the model is given and gives back. */
export function GraphBox(props: GraphBoxProps) {
  const { box, rect, level, domId, isStill, onToggle, onPick, ...marks } = props;
  const { id, isOpen, parts, kind } = box;
  const isTriangle = ({ target }: Event) => (target as Element).closest(".xw-graph-triangle") !== null;
  const middle = isOpen ? TITLE / 2 : kind === "module" ? 20 : rect.height / 2;
  return (
    <g
      id={domId}
      class={`xw-graph-box xw-graph-${kind} xw-family-${familyOf(box)}${isOpen ? " xw-open" : ""}`}
      transform={`translate(${rect.x} ${rect.y})`}
      role="treeitem"
      aria-level={level}
      aria-label={marks.words}
      aria-selected={marks.picked === "itself"}
      {...(parts > 0 ? { "aria-expanded": isOpen } : {})}
      {...(marks.tint === null ? {} : { style: { "--xw-ink": marks.tint.ink } })}
      data-id={id}
      onClick={(event) => (isTriangle(event) ? onToggle(id, event) : onPick(id, event))}
      onDblClick={(event) => parts > 0 && !isTriangle(event) && onToggle(id, event)}
    >
      <title>{marks.words}</title>
      <Ground box={box} rect={rect} tint={marks.tint} />
      {parts > 0 && <Triangle isOpen={isOpen} y={middle} />}
      {isOpen ? (
        <OpenText box={box} rect={rect} tint={marks.tint} />
      ) : kind === "module" ? (
        <ModuleText box={box} rect={rect} tint={marks.tint} failure={marks.failure} />
      ) : (
        <text
          class="xw-graph-name"
          x={parts > 0 ? TRIANGLE : rect.width / 2 - timesWidth(box) / 2}
          y={rect.height / 2 + 4}
          text-anchor={parts > 0 ? "start" : "middle"}
          font-size={TYPE_SIZE + 0.5}
        >
          {fitText(nameOf(box), rect.width - 12 - timesWidth(box), TYPE_SIZE + 0.5)}
        </text>
      )}
      <Times
        box={box}
        right={rect.width - 6 - (isOpen && box.picksBlock ? 148 : 0)}
        y={isOpen ? TITLE / 2 : kind === "module" ? 13 : rect.height / 2}
      />
      {isStill && box.picksBlock && (
        <text
          class="xw-graph-type"
          x={isOpen ? rect.width - 10 : TRIANGLE}
          y={isOpen ? 17.5 : rect.height - PICKER / 2 + 2}
          text-anchor={isOpen ? "end" : "start"}
          font-size={TYPE_SIZE}
        >
          {`block ${box.instance} of ${box.repeats}`}
        </text>
      )}
      <Around rect={rect} marks={marks} />
    </g>
  );
}
