// What a page does with the openai package; a test calls these functions and is told what the page saw.
import OpenAI from "/openai/index.mjs";

const MESSAGES = [{ role: "user", content: "Hello" }];
const STOP = new AbortController();
const texts = [];

function client({ baseURL, apiKey }) {
  return new OpenAI({ baseURL, apiKey, maxRetries: 0, dangerouslyAllowBrowser: true });
}

async function told(work) {
  try {
    return await work();
  } catch (error) {
    return {
      raised: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      message: error.message,
      requestId: error.requestID ?? null,
      headers: Object.fromEntries(error.headers ?? []),
      texts,
    };
  }
}

window.calls = {
  // Reads a stream to its end; meanwhile `texts` tells how far it is.
  stream: (asked) =>
    told(async () => {
      texts.length = 0;
      const body = { model: "gpt-test", messages: MESSAGES, stream: true };
      const sent = client(asked).chat.completions.create(body, { signal: STOP.signal });
      const { data, response } = await sent.withResponse();
      for await (const chunk of data) texts.push(chunk.choices[0].delta.content ?? "");
      return { texts, headers: Object.fromEntries(response.headers) };
    }),

  completion: (asked) =>
    told(async () => {
      const sent = client(asked).chat.completions.create({ model: "gpt-test", messages: MESSAGES });
      const { data, response, request_id: requestId } = await sent.withResponse();
      const text = data.choices[0].message.content;
      return { text, requestId, headers: Object.fromEntries(response.headers) };
    }),

  texts: () => texts,
  abort: () => STOP.abort(),
};
