/** How far sweeps have come that go through everything, some at a time. */
import * as z from "zod";

const RowSchema = z.object({ place: z.string() });

/** The place behind which the sweep goes on; "" where it begins. */
export async function readSweepPlace(db: D1Database, name: string): Promise<string> {
  const row = await db.prepare("SELECT place FROM sweep_places WHERE name = ?").bind(name).first();
  return row === null ? "" : RowSchema.parse(row).place;
}

export async function saveSweepPlace(db: D1Database, name: string, place: string): Promise<void> {
  await db.prepare("INSERT OR REPLACE INTO sweep_places (name, place) VALUES (?, ?)").bind(name, place).run();
}
