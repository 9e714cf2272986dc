/** What dagre's phases ask of `@dagrejs/graphlib`, for the bundle: without its other algorithms. */
export { default as Graph } from "@dagrejs/graphlib/lib/graph.js";

import postorder from "@dagrejs/graphlib/lib/alg/postorder.js";
import preorder from "@dagrejs/graphlib/lib/alg/preorder.js";

export const alg = { preorder, postorder };
