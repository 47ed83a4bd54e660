/** A Chromium without a window, and pages whose complaints are kept, whoever notices them. */
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const phone = (width: number) => {
  return { viewport: { width, height: 2 * width }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
};

export async function startChromium(): Promise<Browser> {
  // CI is root in a container, where Chromium's own sandbox can't be made; /dev/shm is small there.
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
  return chromium.launch({ executablePath: "/usr/bin/chromium", args });
}

/**
 * A page with nothing stored. `complaints`: errors and warnings of its console, exceptions, and what its policy
 * refused. `phonePx`: it is shown as a phone does whose screen is so wide, in CSS pixels.
 */
export async function newPage(browser: Browser, phonePx?: number): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage(phonePx === undefined ? DESKTOP : phone(phonePx));
  const complaints: string[] = [];
  page.on("pageerror", (error) => void complaints.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning", "assert"].includes(message.type())) complaints.push(message.text());
  });
  return { page, complaints };
}
