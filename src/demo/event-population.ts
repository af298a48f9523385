/** Who lives in the tenant that the demo plays: users, applications, connections, places. */

/** Repeatable randomness: the same seed and stream give the same choices. */
export interface Random {
  /** An integer in [0, limit). */
  below(limit: number): number;
  pick<T>(list: readonly [T, ...T[]]): T;
  chance(probability: number): boolean;
  text(alphabet: string, length: number): string;
}

export interface Connection {
  readonly name: string;
  readonly id: string;
  readonly strategy: string;
  readonly strategyType: string;
}

export interface Client {
  readonly id: string;
  readonly name: string;
  readonly audience: string;
}

interface Place {
  readonly ip: string;
  readonly location: Readonly<Record<string, unknown>>;
}

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly connection: Connection;
  readonly place: Place;
  /** Auth0's short form of the browser's own User-Agent. */
  readonly userAgent: string;
  readonly isMobile: boolean;
  readonly organization: { readonly id: string; readonly name: string } | null;
}

export const hex = "0123456789abcdef";
export const digits = "0123456789";
export const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** Marsaglia's 32-bit xorshift, started from a mix of both numbers. */
export function createRandom(seed: number, stream: number): Random {
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  // Neighbouring seeds start out alike and drift apart after a few steps.
  for (let step = 0; step < 8; step++) next();
  const below = (limit: number) => Math.floor((next() / 2 ** 32) * limit);
  return {
    below,
    pick: (list) => list[below(list.length)] ?? list[0],
    chance: (probability) => next() / 2 ** 32 < probability,
    text: (alphabet, length) => {
      let text = "";
      while (text.length < length) text += alphabet[below(alphabet.length)];
      return text;
    },
  };
}

const database: Connection = {
  name: "Username-Password-Authentication",
  id: "con_RpVZjT1qW8n3cXaE",
  strategy: "auth0",
  strategyType: "database",
};

const connections: readonly [Connection, ...Connection[]] = [
  database,
  database,
  database,
  { name: "google-oauth2", id: "con_b2Kx0QmT7dLs9VfY", strategy: "google-oauth2", strategyType: "social" },
  { name: "okta-workforce", id: "con_h5WcN8rPz1UyG4tD", strategy: "samlp", strategyType: "enterprise" },
  { name: "azure-verwaltung", id: "con_M3aJkE6vXo0BqS7i", strategy: "waad", strategyType: "enterprise" },
  { name: "email", id: "con_y9TfL2sHd5RgC8wK", strategy: "email", strategyType: "passwordless" },
];

export const applications: readonly [Client, ...Client[]] = [
  {
    id: "Vb3kXo9TqLw2ZsYd7HnRfJm5CpGa1Ue8",
    name: "Kundenportal Zürich",
    audience: "https://api.example.com/",
  },
  { id: "k7QmZ1xWc4VtBn8RyLs0DfHj3GpEa9Uo", name: "Mobile App (iOS)", audience: "https://api.example.com/" },
  {
    id: "P2dYhTf6Xb9KqWs1ZvLn4RcMj8GoEu0A",
    name: "Mobile App (Android)",
    audience: "https://api.example.com/",
  },
  { id: "e5RtNc8VwKz2XbLq7YsHd0FmJp3GaU1i", name: "予約サイト", audience: "https://booking.example.com/v1" },
  { id: "T9wLzB4nXq7KcVs2RfYd1HmJp6GaE8Uo", name: "Back Office", audience: "https://backoffice.example.com" },
];

export const machines: readonly [Client, ...Client[]] = [
  { id: "J6sWq3ZtXn8VbLc1KyRd5FhMp0GaE7Ui", name: "Billing Worker", audience: "https://api.example.com/" },
  {
    id: "c1XzV9bKqTn4WsLy7RfHd2JmGp8EaU5o",
    name: "CI Deployments",
    audience: "https://demo.eu.auth0.com/api/v2/",
  },
  {
    id: "N8yRkWb5ZxTq2VsLc9FdHj4MpGa0Eu7i",
    name: "Datenabgleich (nächtlich)",
    audience: "https://dwh.example.com",
  },
];

const names: readonly [readonly [string, string], ...(readonly [string, string])[]] = [
  ["Anna", "Keller"],
  ["Zoë", "Müller"],
  ["Søren", "Ångström"],
  ["José", "Muñoz Peña"],
  ["李", "小龙"],
  ["さくら", "田中"],
  ["محمد", "الفاسي"],
  ["Olga", "Кузнецова"],
  ["Priya", "Raghunathan"],
  ["Siobhán", "O'Brien"],
  ["Nguyễn", "Thị Hương"],
  ["Sunny 🌻", "Baker"],
  ["Jean-Luc", "Lefèvre"],
  ["Katarzyna", "Wiśniewska"],
  ["Emre", "Yılmaz"],
  ["Thabo", "Mokoena"],
];

const places: readonly [Record<string, unknown>, ...Record<string, unknown>[]] = [
  place("CH", "CHE", "Switzerland", "Zürich", 47.3667, 8.55, "Europe/Zurich", "EU"),
  place("DE", "DEU", "Germany", "Köln", 50.9333, 6.95, "Europe/Berlin", "EU"),
  place("BR", "BRA", "Brazil", "São Paulo", -23.5475, -46.6361, "America/Sao_Paulo", "SA"),
  place("US", "USA", "United States", "San José", 37.3394, -121.895, "America/Los_Angeles", "NA"),
  place("JP", "JPN", "Japan", "Tokyo", 35.6895, 139.6917, "Asia/Tokyo", "AS"),
  // Whole degrees: the number arrives without a fraction.
  place("GB", "GBR", "United Kingdom", "London", 51.5, 0, "Europe/London", "EU"),
];

function place(
  country_code: string,
  country_code3: string,
  country_name: string,
  city_name: string,
  latitude: number,
  longitude: number,
  time_zone: string,
  continent_code: string,
) {
  return {
    country_code,
    country_code3,
    country_name,
    city_name,
    latitude,
    longitude,
    time_zone,
    continent_code,
  };
}

const browsers: readonly [readonly [string, boolean], ...(readonly [string, boolean])[]] = [
  ["Chrome 142.0.0 / Windows 10.0.0", false],
  ["Chrome 142.0.0 / Mac OS X 10.15.7", false],
  ["Firefox 145.0.0 / Ubuntu 0.0.0", false],
  ["Mobile Safari 18.6.0 / iOS 18.6.2", true],
  ["Chrome Mobile 142.0.0 / Android 15.0.0", true],
];

const organizations: readonly [{ id: string; name: string }, ...{ id: string; name: string }[]] = [
  { id: "org_q4ZtBn9XwKc2VsLy", name: "musterbau-ag" },
  { id: "org_R7fHd1JmGp8EaU5o", name: "northwind" },
];

/** Addresses of RFC 5737's and RFC 3849's documentation ranges: they belong to nobody. */
function createPlace(random: Random): Place {
  const ip = random.chance(0.2)
    ? `2001:db8:${random.text(hex, 4)}:${random.text(hex, 4)}::${random.text(hex, 4)}`
    : `${random.pick(["192.0.2", "198.51.100", "203.0.113"])}.${1 + random.below(254)}`;
  return { ip, location: random.pick(places) };
}

/** The `index`-th user of the tenant that `seed` makes. */
export function createPerson(seed: number, index: number): Person {
  const random = createRandom(seed, index);
  const [given, family] = random.pick(names);
  const connection = random.pick(connections);
  const [userAgent, isMobile] = random.pick(browsers);
  const email = `user.${index}@${random.pick(["example.com", "example.org", "bücher.example"])}`;
  return {
    id: userId(connection, random, email),
    name: `${given} ${family}`,
    email,
    connection,
    place: createPlace(random),
    userAgent,
    isMobile,
    organization: random.chance(0.25) ? random.pick(organizations) : null,
  };
}

/** `strategy|id of the identity provider`; each strategy has ids of its own form. */
function userId(connection: Connection, random: Random, email: string): string {
  switch (connection.strategy) {
    case "google-oauth2":
      return `google-oauth2|1${random.text(digits, 20)}`;
    case "samlp":
      return `samlp|${connection.name}|${email}`;
    case "waad":
      return `waad|${random.text(letters, 43)}`;
    default:
      return `${connection.strategy}|${random.text(hex, 24)}`;
  }
}
