"""What an artist clicks: panels, operators, properties, preferences."""
