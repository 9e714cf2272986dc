import type { ArrayHeader, Buffer, Dtype } from "./messages";

interface Storage {
  uint8: Uint8Array;
  float32: Float32Array;
  int32: Int32Array;
}

export interface DecodedArray<D extends Dtype = Dtype> {
  data: Storage[D];
  shape: number[];
  dtype: D;
  range: [number, number] | null;
  nonfinite: number;
  note: string;
}

export type Arrays = Record<string, DecodedArray>;

const constructors = { uint8: Uint8Array, float32: Float32Array, int32: Int32Array };

const count = (shape: number[]) => shape.reduce((product, length) => product * length, 1);

/** Bytes of the buffer that arrays lie in: what was sent without its padding. */
export function payloadBytes(headers: Record<string, ArrayHeader>): number {
  const ends = Object.values(headers).map(
    ({ shape, dtype, offset }) => offset + count(shape) * constructors[dtype].BYTES_PER_ELEMENT,
  );
  return Math.max(0, ...ends);
}

function decodeOne(header: ArrayHeader, buffer: Buffer): DecodedArray {
  const { shape, dtype, offset } = header;
  const ArrayType = constructors[dtype];
  if (ArrayType === undefined) throw new Error(`Unknown dtype "${dtype}" in a reply.`);
  const [bytes, start, length] = ArrayBuffer.isView(buffer)
    ? [buffer.buffer as ArrayBuffer, buffer.byteOffset + offset, buffer.byteLength - offset]
    : [buffer, offset, buffer.byteLength - offset];
  const wanted = count(shape) * ArrayType.BYTES_PER_ELEMENT;
  if (length < wanted) throw new Error(`A reply is ${wanted - length} bytes short of its arrays.`);
  // Hosts may hand over a view into a larger buffer at an odd offset: typed arrays then need a copy.
  const data =
    start % ArrayType.BYTES_PER_ELEMENT === 0
      ? new ArrayType(bytes, start, count(shape))
      : new ArrayType(bytes.slice(start, start + wanted));
  const { range = null, nonfinite = 0, note = "" } = header;
  return { data, shape, dtype, range, nonfinite, note };
}

export function decode(headers: Record<string, ArrayHeader>, buffer: Buffer | undefined): Arrays {
  const arrays: Arrays = {};
  for (const [name, header] of Object.entries(headers)) {
    arrays[name] = decodeOne(header, buffer ?? new ArrayBuffer(0));
  }
  return arrays;
}

/** The named array, or null when the reply has none; a wrong dtype is an error of the kernel side. */
export function pick<D extends Dtype>(arrays: Arrays, name: string, dtype: D): DecodedArray<D> | null {
  const array = arrays[name];
  if (array === undefined) return null;
  if (array.dtype !== dtype) throw new Error(`Array "${name}" is ${array.dtype}, not ${dtype}.`);
  return array as unknown as DecodedArray<D>;
}
