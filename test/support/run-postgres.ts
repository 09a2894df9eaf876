// Runs a PostgreSQL for tests until its standard input ends; prints its connection string.

import { startTestPostgres } from './new-postgres.ts';

const { url, stop } = await startTestPostgres();
process.stdin.on('close', () => void stop()).resume();
process.stdout.write(`${url}\n`);
