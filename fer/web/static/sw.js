/*
 * Keeps the page's files, so that it works without a network after the first visit. Before this
 * text the builder writes PAGE: `version`, `files` (the SHA-256 of each path), `shell` (the paths
 * that show the page) and `index` (the path of the page itself).
 *
 * Files are kept under their SHA-256 and not under their address, so a page never gets a file of
 * another version. A new version takes over when all its files are here and no page of the old one
 * is open, or the visitor asks for it.
 */

const SCOPE = self.registration.scope;
const CACHE = `fer ${SCOPE}`;
const keyOf = (sha256) => `${SCOPE}sha256/${sha256}`;
const WHOLE = `${SCOPE}whole`; // its presence says that a version had all its files here

/** Returns the path of a page's own file; undefined for any other request. */
function pathOf({ method, mode, url }) {
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || !(origin + pathname).startsWith(SCOPE)) return undefined;
  const path = (origin + pathname).slice(SCOPE.length) || PAGE.index;
  if (path === PAGE.index && mode !== "navigate") return undefined;
  return path in PAGE.files ? path : undefined;
}

async function hash(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Keeps a reply where it is of this version, and returns whether it is. */
async function keep(path, reply) {
  if (!reply.ok) return false;
  const bytes = await reply.arrayBuffer();
  // A host may write into the page itself, which names its version.
  const isOurs =
    path === PAGE.index
      ? new TextDecoder().decode(bytes).includes(PAGE.version)
      : (await hash(bytes)) === PAGE.files[path];
  if (!isOurs) return false;
  const headers = { "content-type": reply.headers.get("content-type") || "" };
  const cache = await caches.open(CACHE);
  await cache.put(keyOf(PAGE.files[path]), new Response(bytes, { headers }));
  return true;
}

async function find(path) {
  return (await caches.open(CACHE)).match(keyOf(PAGE.files[path]));
}

/** Fetches those of `paths` that are not here; throws where one is of another version. */
async function fetchMissing(paths) {
  for (const path of paths) {
    if (await find(path)) continue;
    const reply = await fetch(new URL(path, SCOPE), { cache: "no-cache" });
    if (!(await keep(path, reply))) throw new Error(`${path} must be of version ${PAGE.version}`);
  }
}

async function fetchAll() {
  await fetchMissing(Object.keys(PAGE.files));
  await (await caches.open(CACHE)).put(WHOLE, new Response(""));
}

async function install() {
  const wasWhole = await (await caches.open(CACHE)).match(WHOLE);
  await (wasWhole ? fetchAll() : fetchMissing(PAGE.shell));
}

/** Forgets the files of other versions, and answers the page that is open already. */
async function activate() {
  const cache = await caches.open(CACHE);
  const ours = new Set([WHOLE, ...Object.values(PAGE.files).map(keyOf)]);
  for (const { url } of await cache.keys()) {
    if (!ours.has(url)) await cache.delete(url);
  }
  await self.clients.claim();
}

async function answer(event, path) {
  const known = await find(path);
  if (known) return known;
  const reply = await fetch(event.request);
  event.waitUntil(keep(path, reply.clone()).catch(() => {}));
  return reply;
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const path = pathOf(event.request);
  if (path !== undefined) event.respondWith(answer(event, path));
});
self.addEventListener("message", (event) => {
  // Without a network they come with a later visit.
  if (event.data === "keep all") event.waitUntil(fetchAll().catch(() => {}));
  if (event.data === "take over") self.skipWaiting();
});
