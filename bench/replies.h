/* What the mock upstream says, as an OpenAI-compatible server would. */
#ifndef REPLIES_H
#define REPLIES_H

#define MODEL "\"created\":1700000000,\"model\":\"bench\""
#define JSON_HEAD "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
#define USAGE "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%ld,\"total_tokens\":%ld}"

static const char CHUNK[] = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\"," MODEL
                            ",\"choices\":[{\"index\":0,\"delta\":{%s},\"finish_reason\":%s}]}\n\n";
static const char USAGE_CHUNK[] = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\"," MODEL
                                  ",\"choices\":[]," USAGE "}\n\n";
static const char ANSWER[] = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\"," MODEL
                             ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"#0:%lld:%s#\"},"
                             "\"finish_reason\":\"stop\"}]," USAGE "}";
static const char MODELS[] = "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\"," MODEL ",\"owned_by\":\"bench\"}]}";
static const char STREAM_HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                                  "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

#endif
