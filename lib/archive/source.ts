/** Where the bytes of a layer come from: an open file, or a stream. Whoever extracts it verifies the layer's diffID. */
export type LayerSource =
  | {
      readonly kind: "file";
      readonly fd: number;
      readonly size: number;
      /** For messages only. */
      readonly path: string;
    }
  | {
      readonly kind: "stream";
      readonly chunks: AsyncIterable<Uint8Array>;
      /** Bytes of the blob as stored. */
      readonly size: number;
      /** Digest of the blob as stored, to be verified beside the diffID. */
      readonly digest: string;
    };
