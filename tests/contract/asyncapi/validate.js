// Reads an AsyncAPI document from standard input, and writes what AsyncAPI's own parser says of it.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

async function main() {
  const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
  const channels = document ? document.channels().all() : [];
  const found = channels.map((channel) => ({
    address: channel.address(),
    messages: channel.messages().all().map((message) => message.name()),
    operations: channel.operations().all().map((operation) => operation.bindings().get("mqtt").value()),
  }));
  process.stdout.write(JSON.stringify({ valid: document !== undefined, diagnostics, found }));
}

main();
