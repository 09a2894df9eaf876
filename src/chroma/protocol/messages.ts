// The errors of Chroma's servers in responses that Polychrome builds itself, by release (observed on 1.0.5 and 1.3.4).

import { PolychromeError } from '../../errors.ts';

/** 1.0.5 says "does not exists"; later releases (`modern`) "does not exist". */
export interface Wording {
  readonly modern: boolean;
}

const missing = ({ modern }: Wording): string => (modern ? 'does not exist' : 'does not exists');

export const collectionMissing = (wording: Wording, id: string): PolychromeError =>
  new PolychromeError('not_found', `Collection [${id}] ${missing(wording)}.`);

/** For a get by id, which only releases with schemas have. */
export const collectionIdMissing = (id: string): PolychromeError =>
  new PolychromeError('not_found', `Collection [${id}] does not exist`);

export const collectionNameMissing = (wording: Wording, name: string): PolychromeError =>
  new PolychromeError('not_found', `Collection [${name}] ${missing(wording)}`);

export const collectionExists = (name: string): PolychromeError =>
  new PolychromeError('already_exists', `Collection [${name}] already exists`);

/** For a get of a missing database. */
export const databaseNotFound = (name: string): PolychromeError =>
  new PolychromeError('not_found', `Database [${name}] not found. Are you sure it exists?`);

export const databaseMissing = (name: string): PolychromeError =>
  new PolychromeError('not_found', `Database [${name}] not found`);

/** For a create in a missing database. */
export const databaseMissingForCreate = (name: string): PolychromeError =>
  new PolychromeError('invalid_argument', `Database [${name}] does not exist`);

export const databaseExists = (name: string): PolychromeError =>
  new PolychromeError('already_exists', `Database [${name}] already exists`);

export const tenantMissing = (name: string): PolychromeError =>
  new PolychromeError('not_found', `Tenant [${name}] not found`);

export const tenantExists = (name: string): PolychromeError =>
  new PolychromeError('already_exists', `Tenant [${name}] already exists`);

export const wrongDimension = (expected: number, got: number): PolychromeError =>
  new PolychromeError(
    'invalid_argument',
    `Collection expecting embedding with dimension of ${expected}, got ${got}`,
  );
