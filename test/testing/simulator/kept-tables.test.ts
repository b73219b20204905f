import type { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import { SqliteWorld } from '../../../src/testing/simulator/sqlite-world.ts'

/** Tables as a user's `setup` leaves them, and what a schedule may do to them. */
const cases: Readonly<Record<string, { readonly setup: string; readonly schedule: string }>> = {
  'rows that others refer to': {
    setup: `create table child (id integer primary key, parent integer not null references parent on delete restrict);
      create table parent (id integer primary key, name text);
      insert into parent values (1, 'one'), (2, 'two'); insert into child values (7, 1)`,
    schedule: `insert into parent values (3, 'three'); insert into child values (8, 3), (9, 2); update parent set name = 'x'`,
  },
  'a tree, whose rows refer to each other': {
    setup: `create table node (id integer primary key, parent integer references node);
      insert into node values (1, null), (2, 1)`,
    schedule: 'insert into node values (3, 2), (4, 3); update node set parent = 4 where id = 2',
  },
  'tables that refer to each other': {
    setup: `create table a (id integer primary key, b integer references b deferrable initially deferred);
      create table b (id integer primary key, a integer references a)`,
    schedule: 'insert into a values (1, 1); insert into b values (1, 1)',
  },
  'a trigger that writes what happened to another table': {
    setup: `create table account (id integer primary key, balance integer);
      create table audit (entry integer primary key autoincrement, what text);
      create trigger changed after update on account begin insert into audit (what) values ('changed'); end;
      create trigger gone after delete on account begin insert into audit (what) values ('gone'); end;
      create trigger made after insert on account begin insert into audit (what) values ('made'); end;
      insert into account values (1, 10)`,
    schedule: 'update account set balance = 11; insert into account values (2, 5); delete from account where id = 1',
  },
  'a reference to a table that is not there': {
    setup: 'create table orphan (id integer primary key, parent integer references nowhere); create table other (id integer)',
    schedule: 'insert into other values (1)',
  },
}

test.for(Object.entries(cases))('%s: before every schedule they are as setup left them', ([, { setup, schedule }]) => {
  const world = new SqliteWorld(nodeRuntime(), (database) => database.exec(setup))
  world.reset()
  const before = contents(world.database)
  for (const time of [1, 2]) {
    world.database.exec(`begin; ${schedule}; commit`)
    expect(contents(world.database), `schedule ${time}`).not.toEqual(before)
    world.reset()
    expect(contents(world.database), `schedule ${time}`).toEqual(before)
  }
  // References are looked after again, and triggers are there.
  expect(world.database.prepare('pragma foreign_keys').get()).toEqual({ foreign_keys: 1 })
  expect(world.database.prepare("select count(*) as left from sqlite_schema where type = 'trigger'").get()?.left).toBe(
    setup.match(/create trigger/g)?.length ?? 0,
  )
  world.close()
})

function contents(database: DatabaseSync): Record<string, unknown> {
  const tables = database.prepare("select name from sqlite_schema where type = 'table'").all() as { name: string }[]
  return Object.fromEntries(tables.map(({ name }) => [name, database.prepare(`select * from "${name}"`).all()]))
}
