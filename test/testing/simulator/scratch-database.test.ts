import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import type { PgLibrary } from '../../../src/testing/simulator/scratch-database.ts'
import { ScratchDatabase } from '../../../src/testing/simulator/scratch-database.ts'
import { temporaryPostgres } from '../../support/postgres.ts'

const library = { Client } as unknown as PgLibrary

test('what a killed process has left on the server is dropped by the next one, and what another is using is not', async () => {
  const { pool, url } = await temporaryPostgres()
  const make = () => ScratchDatabase.make(library, url, '"onefold"', nodeRuntime())
  const { rows } = await pool.query('select oid from pg_database where datname = current_database()')
  const abandoned = `onefold_prove_${rows[0].oid}_${randomUUID().replaceAll('-', '')}`
  await pool.query(`create database ${abandoned}`)
  const names = async (): Promise<string[]> =>
    (await pool.query(`select datname from pg_database where starts_with(datname, 'onefold_prove_${rows[0].oid}_')`)).rows.map(
      (row) => row.datname,
    )
  const one = await make()
  onTestFinished(() => one.close().catch(() => undefined))
  expect(await names()).toEqual([one.name])
  const two = await make()
  expect((await names()).toSorted()).toEqual([one.name, two.name].toSorted())
  await two.close()
  await one.close()
  expect(await names()).toEqual([])
}, 30_000)
