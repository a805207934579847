// A question from Node, with nothing but the driver:
//
//   npm install pg
//   node examples/ask.mjs
//
// Some `llmreq worker` must run on the same database.
import pg from "pg";

const client = new pg.Client({ connectionString: process.env.LLMREQ_DATABASE_URL });
await client.connect();

// An INSERT is the whole request; objects become JSON. Inside your own transaction it is committed or rolled back with your rows.
const schema = {
  type: "object",
  required: ["category", "urgency"],
  additionalProperties: false,
  properties: {
    category: { enum: ["fault", "question", "praise"] },
    urgency: { type: "integer", minimum: 1, maximum: 5 },
  },
};
const inserted = await client.query(
  "INSERT INTO llm_requests (task_type, content, response_schema) VALUES ($1, $2, $3) RETURNING id",
  ["triage", "The crane on quay 3 is stuck again. Third time this week!", schema],
);

// The answer comes into the same row. Look for it whenever you like; this example looks for a minute.
const until = Date.now() + 60_000;
let row;
do {
  await new Promise((resolve) => setTimeout(resolve, 200));
  const found = await client.query("SELECT * FROM llm_requests WHERE id = $1", [inserted.rows[0].id]);
  row = found.rows[0];
} while (!["completed", "failed", "cancelled"].includes(row.status) && Date.now() < until);

console.log(row.status, row.parsed_response ?? row.error_message, `${row.cost_usd} dollars`);
await client.end();
