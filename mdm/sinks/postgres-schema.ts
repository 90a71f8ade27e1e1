/**
 * What the database holds, as numbered steps: added, never changed. Each is applied once, in one transaction with its number.
 * `value` is times ten to `scaler`, in `unit`, as in NDJSON; `repeated` counts the readings of a batch that were there already,
 * from another stream.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE ami.streams (
     epoch bigint PRIMARY KEY,
     first_at timestamptz NOT NULL DEFAULT now(),
     highest bigint NOT NULL,
     batches bigint NOT NULL,
     readings bigint NOT NULL
   );
   CREATE TABLE ami.batches (
     epoch bigint NOT NULL REFERENCES ami.streams,
     sequence bigint NOT NULL,
     digest bytea NOT NULL CHECK (octet_length(digest) = 32),
     sealed_at timestamptz NOT NULL,
     stored_at timestamptz NOT NULL DEFAULT now(),
     readings integer NOT NULL,
     repeated integer NOT NULL,
     PRIMARY KEY (epoch, sequence)
   );
   CREATE TABLE ami.readings (
     meter text NOT NULL,
     obis text NOT NULL,
     end_time timestamptz NOT NULL,
     revision smallint NOT NULL,
     value bigint NOT NULL,
     scaler smallint NOT NULL,
     unit text NOT NULL,
     quality bigint NOT NULL,
     epoch bigint NOT NULL,
     sequence bigint NOT NULL,
     PRIMARY KEY (meter, obis, end_time, revision)
   );`,
  `CREATE VIEW ami.latest AS
     SELECT DISTINCT ON (meter, obis, end_time) *
     FROM ami.readings
     ORDER BY meter, obis, end_time, revision DESC;`,
]

/** Whoever holds it migrates; another receiver of the same database waits. Any number, but always this one. */
export const migrationLock = 6_220_061

export const sql = {
  /** absent before the first migration */
  hasMigrations: `SELECT to_regclass('ami.migrations') IS NOT NULL AS here`,
  /** without `IF NOT EXISTS` alone, which asks for the right to create one also where it is there */
  schema: `DO $$ BEGIN IF to_regnamespace('ami') IS NULL THEN CREATE SCHEMA ami; END IF; END $$`,
  migrationsTable: `CREATE TABLE IF NOT EXISTS ami.migrations (
    number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
  version: `SELECT coalesce(max(number), 0) AS version FROM ami.migrations`,
  migrated: `INSERT INTO ami.migrations (number) VALUES ($1)`,
  lock: `SELECT pg_advisory_xact_lock($1)`,
  /** sequences as ranges: a number less its place among its stream's is the same along a range */
  position: `SELECT epoch::text, min(sequence)::text AS first, max(sequence)::text AS last
    FROM (SELECT epoch, sequence, sequence - row_number() OVER (PARTITION BY epoch ORDER BY sequence) AS run
          FROM ami.batches) AS numbered
    GROUP BY epoch, run ORDER BY epoch, min(sequence)`,
  stream: `INSERT INTO ami.streams (epoch, highest, batches, readings) VALUES ($1, 0, 0, 0) ON CONFLICT DO NOTHING`,
  batch: `INSERT INTO ami.batches (epoch, sequence, digest, sealed_at, readings, repeated)
    VALUES ($1, $2, $3, to_timestamp($4::double precision / 1000), $5, 0) ON CONFLICT DO NOTHING`,
  digest: `SELECT digest FROM ami.batches WHERE epoch = $1 AND sequence = $2`,
  readings: `INSERT INTO ami.readings
      (meter, obis, end_time, revision, value, scaler, unit, quality, epoch, sequence)
    SELECT s.meter, s.obis, to_timestamp(r.seconds), r.revision, r.value, s.scaler, s.unit, r.quality, $1, $2
    FROM unnest($3::text[], $4::text[], $5::smallint[], $6::text[]) WITH ORDINALITY AS s (meter, obis, scaler, unit, n)
    JOIN unnest($7::integer[], $8::bigint[], $9::bigint[], $10::bigint[], $11::smallint[])
      AS r (n, seconds, value, quality, revision) USING (n)
    ON CONFLICT DO NOTHING`,
  repeated: `UPDATE ami.batches SET repeated = $3 WHERE epoch = $1 AND sequence = $2`,
  counted: `UPDATE ami.streams
    SET highest = greatest(highest, $2), batches = batches + 1, readings = readings + $3 WHERE epoch = $1`,
} as const
