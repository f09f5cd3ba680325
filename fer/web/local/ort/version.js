// Written by `make vendor`.
export const RUNTIME = {
  "name": "onnxruntime-web",
  "version": "1.30.0",
  "licence": "MIT",
  "integrity": "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
  "module": "ort.wasm.bundle.min.mjs",
  "wasm": "ort-wasm-simd-threaded.wasm.gz",
  "wasmSha256": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
};
