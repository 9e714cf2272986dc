/** So many boxes are shown at once in a group; what is beyond is bundled. */
export const MOST_BOXES = 40;

/**
 * Parts of a group in bundles where there are too many: first operations that follow each other, then all that do.
 *
 * `isModule`: of each part, in order.
 */
export function bundles(isModule: readonly boolean[], most = MOST_BOXES): number[][] {
  let found = isModule.map((_, part) => [part]);
  if (found.length > most) {
    found = [];
    isModule.forEach((module, part) => {
      const last = found.at(-1);
      if (last !== undefined && !module && !isModule[last.at(-1) as number]) last.push(part);
      else found.push([part]);
    });
  }
  if (found.length > most) {
    const size = Math.ceil(found.length / most);
    const chunks: number[][] = [];
    for (let start = 0; start < found.length; start += size)
      chunks.push(found.slice(start, start + size).flat());
    found = chunks;
  }
  return found;
}
