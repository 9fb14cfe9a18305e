// What a native EventSource dispatches until its stream's last word; it comes back by itself, and only by itself.
window.calls = {
  follow: ({ url, last }) =>
    new Promise((resolve) => {
      const source = new EventSource(url);
      const seen = { events: [], opened: 0, broke: 0, gaveUp: false };
      const end = () => {
        source.close();
        resolve(seen);
      };
      source.onopen = () => seen.opened++;
      source.onmessage = (event) => {
        seen.events.push([event.lastEventId, event.data]);
        if (event.data === last) end();
      };
      source.onerror = () => {
        seen.broke++;
        if (source.readyState === EventSource.CLOSED) {
          seen.gaveUp = true;
          end();
        }
      };
    }),

  // The same without an end: what it does with a stream that is over.
  followToTheEnd: ({ url }) =>
    new Promise((resolve) => {
      const source = new EventSource(url);
      const seen = { events: [], opened: 0 };
      source.onopen = () => seen.opened++;
      source.onmessage = (event) => seen.events.push([event.lastEventId, event.data]);
      source.onerror = () => source.readyState === EventSource.CLOSED && resolve(seen);
    }),
};
