// `where` and `where_document` with the meaning of a 1.0.5 server.

import { isInteger, isObject, JsonNumber, type Json, type Scalar } from './json.ts';

/** The record that a filter matches. */
export interface Filtered {
  readonly metadata: ReadonlyMap<string, Scalar>;
  readonly document: string | null;
}

export type Filter = (record: Filtered) => boolean;

/** A clause that the server's parser of `where` or `where_document` refuses. */
export class InvalidClause extends Error {
  override readonly name = 'InvalidClause';

  constructor(kind: 'where' | 'where document') {
    super(`Invalid ${kind} clause`);
  }
}

/** Null and absent select everything. Throws InvalidClause. */
export function whereFilter(clause: Json | undefined): Filter {
  if (clause === undefined || clause === null) return () => true;
  const [key, condition] = onlyMember(clause, 'where');
  if (key === '$and' || key === '$or') return joined(key, condition, 'where', whereFilter);
  const [operator, operand] = isObject(condition)
    ? onlyMember(condition, 'where')
    : (['$eq', condition] as const);
  const matches = comparison(operator, operand);
  const negative = operator === '$ne' || operator === '$nin';
  return ({ metadata }) => {
    const value = metadata.get(key);
    return value === undefined ? negative : matches(value);
  };
}

/** Null and absent select everything. Throws InvalidClause. */
export function documentFilter(clause: Json | undefined): Filter {
  if (clause === undefined || clause === null) return () => true;
  const [operator, operand] = onlyMember(clause, 'where document');
  if (operator === '$and' || operator === '$or') {
    return joined(operator, operand, 'where document', documentFilter);
  }
  if (typeof operand !== 'string') throw new InvalidClause('where document');
  switch (operator) {
    case '$contains':
      return ({ document }) => document?.includes(operand) === true;
    case '$not_contains':
      return ({ document }) => document?.includes(operand) !== true;
    default:
      throw new InvalidClause('where document');
  }
}

function onlyMember(clause: Json, kind: 'where' | 'where document'): readonly [string, Json] {
  const [member, ...more] = isObject(clause) ? Object.entries(clause) : [];
  if (member === undefined || more.length > 0) throw new InvalidClause(kind);
  return member;
}

function joined(
  operator: '$and' | '$or',
  clauses: Json,
  kind: 'where' | 'where document',
  read: (clause: Json) => Filter,
): Filter {
  if (!Array.isArray(clauses)) throw new InvalidClause(kind);
  const filters = (clauses as readonly Json[]).map(read);
  if (operator === '$and') return (record) => filters.every((filter) => filter(record));
  return (record) => filters.some((filter) => filter(record));
}

function comparison(operator: string, operand: Json): (value: Scalar) => boolean {
  switch (operator) {
    case '$eq':
      return equalTo(operand);
    case '$ne': {
      const equal = equalTo(operand);
      return (value) => !equal(value);
    }
    case '$in':
      return amongst(operand);
    case '$nin': {
      const among = amongst(operand);
      return (value) => !among(value);
    }
    case '$gt':
      return ordered(operand, (a, b) => a > b);
    case '$gte':
      return ordered(operand, (a, b) => a >= b);
    case '$lt':
      return ordered(operand, (a, b) => a < b);
    case '$lte':
      return ordered(operand, (a, b) => a <= b);
    default:
      throw new InvalidClause('where');
  }
}

// Integers and floats compare by value; booleans are neither.
function equalTo(operand: Json): (value: Scalar) => boolean {
  if (operand === null || (typeof operand === 'object' && !(operand instanceof JsonNumber))) {
    throw new InvalidClause('where');
  }
  return (value) =>
    operand instanceof JsonNumber
      ? value instanceof JsonNumber && comparable(value) == comparable(operand)
      : value === operand;
}

function amongst(operand: Json): (value: Scalar) => boolean {
  if (!Array.isArray(operand) || operand.length === 0) throw new InvalidClause('where');
  const list = operand as readonly Json[];
  if (new Set(list.map(typeName)).size > 1) throw new InvalidClause('where');
  const equals = list.map(equalTo);
  return (value) => equals.some((equal) => equal(value));
}

function typeName(value: Json): string {
  if (value instanceof JsonNumber) return isInteger(value) ? 'integer' : 'float';
  return typeof value;
}

function ordered(
  operand: Json,
  holds: (a: number | bigint, b: number | bigint) => boolean,
): (value: Scalar) => boolean {
  if (!(operand instanceof JsonNumber)) throw new InvalidClause('where');
  return (value) => value instanceof JsonNumber && holds(comparable(value), comparable(operand));
}

/** Integers exactly; JavaScript compares a bigint with a number by value. */
function comparable(number: JsonNumber): number | bigint {
  return isInteger(number) ? BigInt(number.text) : number.value;
}
