"""The arena: which loss makes better pictures, by judges that it was not trained on?"""
