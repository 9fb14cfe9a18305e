// What a page does with a browser's own means; a test calls these functions and is told what the page could read.
async function attempt({ url, ...options }) {
  try {
    const response = await fetch(url, options);
    const headers = Object.fromEntries(response.headers);
    return { type: response.type, status: response.status, headers, body: await response.text() };
  } catch (error) {
    return error.constructor.name;
  }
}

// Resolves with what the frame's script posts.
function fromFrame(attributes) {
  return new Promise((resolve) => {
    addEventListener("message", (event) => resolve({ origin: event.origin, seen: event.data }), { once: true });
    document.body.append(Object.assign(document.createElement("iframe"), attributes));
  });
}

window.calls = {
  origin: () => location.origin,
  attempt,

  // The same from an opaque origin: a frame that may be nobody, or one whose address holds its page.
  attemptAsNobody: ({ way, ...asked }) => {
    const script = `${attempt}; attempt(${JSON.stringify(asked)}).then((seen) => parent.postMessage(seen, "*"));`;
    const page = `<script>${script}</script>`;
    const attributes = { sandbox: { sandbox: "allow-scripts", srcdoc: page }, data: { src: `data:text/html,${page}` } };
    return fromFrame(attributes[way]);
  },

  // The chunks of a body, each with what had come by then.
  pieces: async ({ url, ...options }) => {
    const pieces = [];
    const reader = (await fetch(url, options)).body.pipeThrough(new TextDecoderStream()).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) pieces.push(next.value);
    return pieces;
  },

  // A form needs no preflight and no permission; the answer goes where no script reads it.
  submitForm: ({ url, text }) =>
    new Promise((resolve) => {
      const frame = Object.assign(document.createElement("iframe"), { name: "answer" });
      const form = Object.assign(document.createElement("form"), {
        action: url,
        method: "POST",
        enctype: "text/plain",
        target: "answer",
      });
      form.append(Object.assign(document.createElement("input"), { name: text }));
      document.body.append(frame, form);
      frame.addEventListener("load", () => resolve(frame.contentDocument === null ? "unreadable" : "readable"));
      form.submit();
    }),
};
