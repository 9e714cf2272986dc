import normalize from "@dagrejs/dagre/lib/normalize.js";
import order from "@dagrejs/dagre/lib/order/index.js";
import position from "@dagrejs/dagre/lib/position/index.js";
import rank from "@dagrejs/dagre/lib/rank/index.js";
import util from "@dagrejs/dagre/lib/util.js";
import Graph from "@dagrejs/graphlib/lib/graph.js";

/** The whole: pixels between nodes beside each other, between lines, and from rank to rank. */
interface Gaps {
  nodesep: number;
  edgesep: number;
  ranksep: number;
}

export interface Placed {
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Link {
  weight: number;
  minlen: number;
  /** Where a line bends on its way. */
  points?: { x: number; y: number }[];
}

/** Between what is laid out there is one rank that has only lines, which bend in it. */
const RANKS = 2;
/** A node above all, while ranks are sought: so that all hangs together. */
const ABOVE = "above";

/** Nodes and links, which go from what came earlier to what came later, so never in a circle. */
export class LayeredGraph {
  private readonly graph = new Graph<Gaps, Placed, Link>();

  constructor({ ranksep, ...beside }: Gaps) {
    this.graph.setGraph({ ...beside, ranksep: ranksep / RANKS });
  }

  addNode(name: string, width: number, height: number): void {
    this.graph.setNode(name, { x: 0, y: 0, width, height });
  }

  /** `weight`: how much it should be short and straight. */
  addLink(from: string, to: string, weight: number): void {
    this.graph.setEdge(from, to, { weight, minlen: RANKS });
  }

  /** Middle of a node, and its size; undefined: there is none of that name. */
  node(name: string): Placed | undefined {
    return this.graph.node(name);
  }

  links(): Link[] {
    return this.graph.edges().map((ends) => this.graph.edge(ends));
  }

  /** Where a line bends on its way. */
  bends(from: string, to: string): { x: number; y: number }[] {
    return this.graph.edge(from, to).points ?? [];
  }

  /**
   * Lays it out, as `layout` of dagre does.
   *
   * The phases are imported one by one, since there are no boxes within boxes here (groups are laid out each by
   * itself), no circles, no links from a node to itself and no labels on links: all of that would make the bundle
   * 20 kB larger.
   */
  layout(): void {
    const { graph } = this;
    const nodes = graph.nodes();
    graph.setNode(ABOVE, {} as Placed);
    for (const node of nodes) graph.setEdge(ABOVE, node, { weight: 0, minlen: 1 });
    rank(graph);
    graph.removeNode(ABOVE);
    util.normalizeRanks(graph);
    normalize.run(graph);
    order(graph);
    position(graph);
    normalize.undo(graph);
  }
}
