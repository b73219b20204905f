/** Shows the shape of a value and none of what is in it: structure, keys and nulls stay, every other scalar is a mask. */
export function maskJson(value: unknown): unknown {
  if (value === null || value === undefined) return value
  if (Array.isArray(value)) return value.map(maskJson)
  if (typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, maskJson(inner)]))
  return mask
}

const mask = '***'
