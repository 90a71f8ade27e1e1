import { DuckDBInstance } from '@duckdb/node-api'

/** Rows of a query, as DuckDB's own JSON says them: wide integers and times as text. */
export async function duckdb(query: string): Promise<unknown[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    await connection.run("SET TimeZone = 'UTC'")
    return (await connection.runAndReadAll(query)).getRowObjectsJson()
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

const columns = 'batch, meter, obis, "end", value, scaler, unit, quality, revision'

/** Rows of NDJSON, as `readings` of the Parquet files say them. */
function ndjson(folder: string): string {
  const types =
    "{batch: 'BIGINT', meter: 'VARCHAR', obis: 'VARCHAR', \"end\": 'TIMESTAMPTZ', value: 'BIGINT', scaler: 'TINYINT', unit: 'VARCHAR', quality: 'BIGINT', revision: 'UTINYINT'}"
  return `SELECT ${columns} FROM read_json('${folder}/*/readings/*/*.ndjson', format = 'newline_delimited', columns = ${types})`
}

/** What one has more often than the other: nothing, when they agree row for row. */
export async function disagreement(parquet: string, folder: string): Promise<{ rows: number; differ: unknown[] }> {
  const [ours, theirs] = [`SELECT ${columns} FROM read_parquet('${parquet}/day=*/*.parquet')`, ndjson(folder)]
  const differ = await duckdb(
    `(SELECT 'parquet' AS only, * FROM (${ours} EXCEPT ALL ${theirs})) UNION ALL
     (SELECT 'ndjson' AS only, * FROM (${theirs} EXCEPT ALL ${ours})) LIMIT 10`,
  )
  const [counted] = (await duckdb(`SELECT count(*)::INTEGER AS rows FROM (${ours})`)) as [{ rows: number }]
  return { rows: counted.rows, differ }
}
