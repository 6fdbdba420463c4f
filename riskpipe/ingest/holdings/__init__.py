"""What a book holds, by owner, price level and venue: the small plain amounts of /book."""
