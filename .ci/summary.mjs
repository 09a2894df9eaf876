// Prints the closing lines of .ci/run from the report of vitest and the exit codes of both commands. Exits 0 only when
// everything passed. Runs on any version of Node.

import { readFileSync } from 'node:fs';

const [file, checkCode, testCode] = process.argv.slice(2);

/** Passed, failed and skipped tests; a failure outside of a test counts as one failed test. */
function counts() {
  let report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    console.log('The tests left no report: they exceeded their time, or did not start.');
    return { passed: 0, failed: 1, skipped: [] };
  }
  const cases = report.testResults.flatMap((suite) => suite.assertionResults);
  const named = (status) => cases.filter((one) => status.includes(one.status)).map((one) => one.fullName);
  // A file that could not be loaded, or one with a failed hook, has no failed test.
  const broken = report.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((one) => one.status === 'failed'),
  );
  for (const suite of broken) console.log(`failed: ${suite.name}: ${suite.message.split('\n')[0]}`);
  const failed = named(['failed']);
  for (const name of failed) console.log(`failed: ${name}`);
  const outside = testCode !== '0' && failed.length + broken.length === 0 ? 1 : 0;
  if (outside === 1) console.log(`failed: npm test ended with exit code ${testCode}`);
  return {
    passed: named(['passed']).length,
    failed: failed.length + broken.length + outside,
    skipped: named(['pending', 'skipped', 'todo', 'disabled']),
  };
}

const { passed, failed, skipped } = counts();
for (const name of skipped) console.log(`not run: ${name} (skipped)`);
const check = checkCode === '0' ? 'passed' : 'failed';
const part = (count, what) => (count === 0 ? [] : [`${count} ${what}`]);
const parts = [...part(failed, 'failed'), ...part(passed, 'passed'), ...part(skipped.length, 'skipped')];

console.log(` Check  npm run check ${check}`);
console.log(` Tests  ${parts.join(' | ')} (${passed + failed + skipped.length})`);
// The check counts as one.
const failedInAll = failed + (check === 'failed' ? 1 : 0);
console.log(`${passed + (check === 'passed' ? 1 : 0)} passed, ${failedInAll} failed`);
process.exit(failedInAll === 0 ? 0 : 1);
