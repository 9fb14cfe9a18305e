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

  // A task as the founding page does it: posted, then followed by its stream's address alone.
  task: async ({ origin, key, body }) => {
    const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
    const answer = await fetch(`${origin}/process`, { method: "POST", headers, body: JSON.stringify(body) });
    const { stream_url } = await answer.json();
    return new Promise((resolve) => {
      const source = new EventSource(origin + stream_url);
      const seen = { status: answer.status, events: [], opened: 0 };
      source.onopen = () => seen.opened++;
      for (const name of ["status", "progress", "complete"]) {
        source.addEventListener(name, (event) => seen.events.push([name, JSON.parse(event.data), event.lastEventId]));
      }
      // the browser's own errors bear the same name as the relay's, and have no data
      source.addEventListener("error", (event) => {
        if (event.data) seen.events.push(["error", JSON.parse(event.data), event.lastEventId]);
        else if (source.readyState === EventSource.CLOSED) resolve(seen);
      });
    });
  },
};
