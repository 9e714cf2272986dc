/** The messages of docs/protocol.md, under the same names. */

export interface Request {
  id: string;
  kind: string;
  selection: object;
  pad: number;
}

export type Dtype = "uint8" | "float32" | "int32";

export interface ArrayHeader {
  shape: number[];
  dtype: Dtype;
  /** Bytes from the start of the buffer, a multiple of 8. */
  offset: number;
  /** What bytes 0 and 254 stand for; 255 is "not a finite number". */
  range?: [number, number];
  nonfinite?: number;
  note?: string;
}

export interface Reply {
  id: string;
  kind: string;
  content: object;
  arrays: Record<string, ArrayHeader>;
  milliseconds: number;
  partial?: true;
}

export interface Failure {
  id: string;
  kind: string;
  error: string;
}

export interface Waiting {
  id: string;
  kind: string;
  waiting: string;
}

export interface Superseded {
  id: string;
  kind: string;
  superseded: true;
}

export interface Notice {
  notice: string;
}

export type Message = Reply | Failure | Waiting | Superseded | Notice;

/** Buffers as hosts hand them over. */
export type Buffer = ArrayBuffer | ArrayBufferView;
