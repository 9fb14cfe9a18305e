import * as client from "/relay-client.js";

import { callsOf } from "/client_calls.mjs";

window.calls = callsOf(client);
