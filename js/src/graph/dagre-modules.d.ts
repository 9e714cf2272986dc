/** Single modules of dagre and graphlib, whose own types name only the whole. */

declare module "@dagrejs/graphlib/lib/graph.js" {
  export interface EdgeEnds {
    v: string;
    w: string;
  }

  export default class Graph<Whole, Node, Edge> {
    setGraph(label: Whole): this;
    graph(): Whole;
    setNode(name: string, label: Node): this;
    node(name: string): Node;
    nodes(): string[];
    hasNode(name: string): boolean;
    removeNode(name: string): this;
    setEdge(from: string, to: string, label: Edge): this;
    edge(from: string, to: string): Edge;
    edge(ends: EdgeEnds): Edge;
    edges(): EdgeEnds[];
  }
}

declare module "@dagrejs/graphlib/lib/alg/*order.js" {
  const order: (graph: object, roots: string[]) => string[];
  export default order;
}

declare module "@dagrejs/dagre/lib/normalize.js" {
  const normalize: Record<"run" | "undo", (graph: object) => void>;
  export default normalize;
}

declare module "@dagrejs/dagre/lib/util.js" {
  const util: { normalizeRanks: (graph: object) => void };
  export default util;
}

declare module "@dagrejs/dagre/lib/*/index.js" {
  const phase: (graph: object) => void;
  export default phase;
}
