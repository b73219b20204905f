import type { Execute, SqlParameter, SqlRow } from './client.ts'

/** Statements of Onefold's own on one connection, or on any: `{s}` stands for the schema. Every value is cast in the text. */
export class Sql {
  readonly #execute: Execute
  readonly #schema: string

  constructor(execute: Execute, schema: string) {
    this.#execute = execute
    this.#schema = schema
  }

  async rows(text: string, ...parameters: readonly SqlParameter[]): Promise<readonly SqlRow[]> {
    return this.#execute(inSchema(text, this.#schema), parameters)
  }

  async row(text: string, ...parameters: readonly SqlParameter[]): Promise<SqlRow | undefined> {
    return (await this.rows(text, ...parameters))[0]
  }

  /** Runs `insert`, `update` or `delete … returning`, and answers how many rows it returned. */
  async count(text: string, ...parameters: readonly SqlParameter[]): Promise<number> {
    return (await this.rows(text, ...parameters)).length
  }
}

const rewritten = new Map<string, Map<string, string>>()

/** Statements are few and used often: each is rewritten once. */
function inSchema(text: string, schema: string): string {
  let ofSchema = rewritten.get(schema)
  if (ofSchema === undefined) {
    ofSchema = new Map()
    rewritten.set(schema, ofSchema)
  }
  let result = ofSchema.get(text)
  if (result === undefined) {
    // Libraries that learn a parameter's type from the server would make JSON of what is JSON already.
    result = text.replaceAll('{s}', schema).replace(/(\$\d+)::json\b/g, '$1::text::json')
    ofSchema.set(text, result)
  }
  return result
}

/** What drivers make of `bigint` differs: text, number or BigInt. These read them all. */
export const numberOf = (value: unknown): number => Number(value)
export const numberOrNull = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value))
export const bigintOf = (value: unknown): bigint => BigInt(value as string | number | bigint)
export const textOf = (value: unknown): string => String(value)
export const textOrUndefined = (value: unknown): string | undefined =>
  value === null || value === undefined ? undefined : String(value)

/** Text that PostgreSQL can store: it has no U+0000, and no halves of surrogate pairs. Of errors' texts, never of messages. */
export const storable = (text: string): string => text.replaceAll('\u0000', '\uFFFD').toWellFormed()
