/*
 * Firefox for tests: opens the page of the first argument, then answers each line of standard
 * input, JSON {expression, argument}, by a line {value} or {error}. At the end of the input it
 * prints what the page logged and which hosts it asked, as {problems, hosts}.
 */

import { createInterface } from "node:readline";

import puppeteer from "puppeteer-core";

const [url, executablePath] = process.argv.slice(2);
const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
  headless: true,
  extraPrefsFirefox: {
    "media.navigator.streams.fake": true,
    "media.navigator.permission.disabled": true,
  },
});
const problems = [];
const hosts = new Set();
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => problems.push(message.text()));
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  await page.goto(url);
  await page.waitForFunction("window.fer");
  say({ value: await browser.version() });
  for await (const line of createInterface({ input: process.stdin })) {
    const { expression, argument } = JSON.parse(line);
    try {
      // As in Playwright: a function is called with the argument, anything else is evaluated.
      const value = await page.evaluate(
        `(async () => { const found = (${expression});
          return typeof found === "function" ? found(${JSON.stringify(argument)}) : found; })()`,
      );
      say({ value });
    } catch (error) {
      say({ error: String(error) });
    }
  }
  say({ problems, hosts: [...hosts] });
} finally {
  await browser.close();
}
