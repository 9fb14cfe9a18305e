// Says which clients are installed, and on which Node.
import { VERSION as seven } from "openai/version";
import { VERSION as six } from "openai6/version";

console.log(`node ${process.versions.node.split(".")[0]}, openai ${seven}, openai ${six}`);
