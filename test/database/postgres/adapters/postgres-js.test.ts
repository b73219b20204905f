import postgresJs from 'postgres'
import { fromPostgresJs } from '../../../../src/database/postgres/index.ts'
import { clientOf, describeClient } from '../../../support/postgres-clients.ts'

describeClient('postgres.js', {
  forgotten: 'never-runs',
  open({ url, pool }) {
    const sql = postgresJs(url, { max: 4, onnotice: () => undefined })
    return clientOf(fromPostgresJs(sql), {
      besides: [sql, pool],
      insert: async (tx, id) => tx`insert into account values (${id}, 1)`,
      insertChild: async (tx, id, parent) => tx`insert into child values (${id}, ${parent})`,
      forget: (tx, id) => tx`insert into account values (${id}, 1)`,
      ids: async (tx) => (await tx`select id from account`).map(({ id }) => id),
      own: async (work) => (await sql.begin(async (tx) => [await work(tx)]))[0] as never,
      end: async (tx) => tx`commit`,
      close: () => sql.end(),
    })
  },
})
