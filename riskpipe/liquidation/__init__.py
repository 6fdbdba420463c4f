"""The liquidation model: revalue, trigger, cascade, close-out, waterfall."""
