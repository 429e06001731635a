// Lets the page itself start without a connection. What it asks of the gateway never comes from here.

/** A digest of the page's files: with another one they are all fetched anew. Held by tests/browser_work. */
const VERSION = 'bd11dcdd1ef8';
const CACHE = `stellwerk-work-${VERSION}`;
const FILES = [
  'index.html', 'work.css', 'icon.svg', 'manifest.json', 'main.js', 'api.js', 'outbox.js', 'scan.js', 'screen.js', 'signal.js',
  'store.js', 'words.js', 'work.js',
];

self.addEventListener('install', (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    // All or nothing: files of two versions do not fit each other.
    await cache.addAll(FILES.map((file) => new Request(file, { cache: 'reload' })));
    await self.skipWaiting();
  })());
});

self.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith('stellwerk-work-') && name !== CACHE) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const here = new URL('./', self.location).pathname;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin || !url.pathname.startsWith(here)) return;
  const name = url.pathname.slice(here.length) || 'index.html';
  if (!FILES.includes(name)) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE);
    return (await cache.match(new URL(name, self.location).href)) ?? fetch(request);
  })());
});
