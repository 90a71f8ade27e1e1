/**
 * The one file that studies may open, as the gateway makes it. A withheld cell carries neither sum nor count, so that
 * nothing can leak from here; `interval_end` is seconds since 1970-01-01T00:00Z, a sum is in Wh times ten to `scaler`.
 * `day` names the days that have closed; an interval that ends at midnight belongs to the day that it closes.
 * The gateway applies the same text.
 */
export const releasedSchema: string = `CREATE TABLE IF NOT EXISTS cell (
  substation TEXT NOT NULL, quantity TEXT NOT NULL, interval_end INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('released','withheld')),
  reason TEXT,
  sum INTEGER, scaler INTEGER, meters INTEGER,
  PRIMARY KEY (substation, quantity, interval_end)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day (substation TEXT NOT NULL, day TEXT NOT NULL, closed_at INTEGER NOT NULL,
  PRIMARY KEY (substation, day)) WITHOUT ROWID;
`
