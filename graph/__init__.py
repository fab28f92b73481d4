"""The GraphQL edge: schema, types, resolvers, loaders, errors, limits and transports. Knows Strawberry."""
