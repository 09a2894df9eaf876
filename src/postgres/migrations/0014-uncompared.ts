// Renames the count of records that a scrub could not compare.

export const uncompared = (s: string): string => `
alter table ${s}.scrub rename column unjudged to uncompared;
`;
