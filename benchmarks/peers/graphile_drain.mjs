// Drain no-op jobs with graphile-worker: `graphile_drain.mjs FOLDER URL JOBS` prints [seconds, ran, distinct].
// Settings: 100 concurrent jobs, a pool of 10, a local queue of 2,000, completions in batches without delay.
import { createRequire } from "node:module";

const [folder, url, count] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const { Logger, run, runMigrations } = require("graphile-worker");
const { Pool } = require("pg");

const jobs = Number(count);
const logger = new Logger(() => () => {});
const pgPool = new Pool({ connectionString: url, max: 10 });
pgPool.on("error", () => {});
await runMigrations({ pgPool, logger });
for (let start = 1; start <= jobs; start += 5000) {
  await pgPool.query(
    `SELECT graphile_worker.add_jobs(ARRAY(
       SELECT ROW('noop', json_build_object('n', n), NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec
       FROM generate_series($1::int, $2::int) AS n))`,
    [start, Math.min(start + 4999, jobs)],
  );
}
const ran = [];
let first = 0;
const noop = async ({ n }) => {
  if (ran.push(n) === 1) first = performance.now();
};
const preset = {
  worker: {
    concurrentJobs: 100, localQueue: { size: 2000 }, completeJobBatchDelay: 0, failJobBatchDelay: 0, pollInterval: 100,
  },
};
const runner = await run({ preset, pgPool, logger, noHandleSignals: true, taskList: { noop } });
const left = async () => Number((await pgPool.query("SELECT count(*) FROM graphile_worker._private_jobs")).rows[0].count);
while (ran.length < jobs) await new Promise((resolve) => setTimeout(resolve, 5));
while ((await left()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
const seconds = (performance.now() - first) / 1000;
await runner.stop();
await pgPool.end();
console.log(JSON.stringify([seconds, ran.length, new Set(ran).size]));
