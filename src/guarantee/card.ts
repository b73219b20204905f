/**
 * What an engine claims about itself, as data. `explain()` composes cards into the guarantee of a whole topology, so a
 * claim here must be one that a test has tried to break.
 */
export interface Card {
  readonly name: string
  readonly claims: Readonly<Record<string, string | number | boolean>>
}
